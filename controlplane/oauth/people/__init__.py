"""Pages on which people log in, join, choose an org, and end sessions; the gate that needs them."""
