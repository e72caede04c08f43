from .birdseye import BirdsEye as BirdsEye
from .calibrate import Board as Board
from .calibrate import Calibrated as Calibrated
from .calibrate import calibrate as calibrate
from .camera import Camera as Camera
from .camera import Undistorted as Undistorted
from .closing import Closing as Closing
from .closing import Distances as Distances
from .closing import time_to_collision as time_to_collision
from .distance import (
    SIZES as SIZES,
)
from .distance import (
    Estimate as Estimate,
)
from .distance import (
    Size as Size,
)
from .distance import (
    by_foot as by_foot,
)
from .distance import (
    by_size as by_size,
)
from .distance import (
    combined as combined,
)
from .ground import Ground as Ground
from .mounting import Mounting as Mounting
from .setup import Setup as Setup
from .setup import read_setup as read_setup
from .setup import write_setup as write_setup
