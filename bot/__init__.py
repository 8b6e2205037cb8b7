"""The conversation: the request grammar, the use cases, history, and thin front ends over them."""
