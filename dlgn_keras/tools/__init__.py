"""Tools that every room uses: messages, files, tables, progress, numbers, colours."""
