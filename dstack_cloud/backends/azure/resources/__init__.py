"""What a machine on Azure needs around it, made when it is first needed and kept."""
