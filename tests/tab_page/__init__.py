"""The page of the tab, as somebody with a mouse, a keyboard and eyes meets it: a real browser."""
