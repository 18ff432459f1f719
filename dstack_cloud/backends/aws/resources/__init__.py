"""What a machine on AWS needs around it, made when it is first needed and kept."""
