"""The way of a request from head to answer, without knowing who serves it or who asks."""
