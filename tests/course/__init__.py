"""What a course is made of: `make student` writes the folder that students get."""
