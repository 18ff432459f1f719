"""Jobs on this computer."""
