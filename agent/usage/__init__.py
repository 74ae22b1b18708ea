"""What the node and its containers use: samples taken when asked for, and the documents made of them."""
