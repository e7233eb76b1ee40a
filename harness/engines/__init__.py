"""One file per runtime. A runtime's library is imported inside its file's functions, never by another module."""
