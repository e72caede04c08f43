from .base import Counts as Counts, Info as Info
from .listing import Inputs as Inputs, local_files as local_files
from .prefetch import Ahead as Ahead, Latest as Latest, ahead as ahead, latest as latest
from .source import Member as Member, Source as Source, read as read
