"""Architecture tests: rules about the source code beyond import contracts."""
