"""Scripts that run as one-shot processes of their own: what they load and break ends with them."""
