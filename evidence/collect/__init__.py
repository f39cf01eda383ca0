"""Numbers of the pages, from the committed tables. Each function returns a data frame or plain values."""
