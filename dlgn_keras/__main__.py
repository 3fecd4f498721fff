"""`python -m dlgn_keras` is `dlgn-keras`."""

import sys

from dlgn_keras.cli import main

sys.exit(main())
