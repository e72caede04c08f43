"""What robots call a picture and what was found in it: messages of Foxglove and of ROS 2, and how H.264 is cut."""
