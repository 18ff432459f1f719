"""What goes onto an instance, and how it gets there. Imports nothing of the rest: it runs alone on machines."""
