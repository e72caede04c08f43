"""People in pictures: faces and their points, bodies, who is who on a video."""
