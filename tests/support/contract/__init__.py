"""What the contract's end-to-end tests share: servers of three kinds, the application that they serve, clients and notes."""
