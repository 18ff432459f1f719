"""What a machine on Google Cloud needs around it, made when it is first needed and kept."""
