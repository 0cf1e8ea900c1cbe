"""What makes up a step's memory, tensor by tensor, why each is kept, and what would remove it."""
