"""What a caller may ask for: a class for each noun, a method for each wish."""
