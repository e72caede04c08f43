"""The public names of `vision` and the module that each comes from: `__init__.py` loads them by this list,
and type checkers read it."""

from . import (
    card as card, data as data, driving as driving, engine as engine, errors as errors, geometry as geometry, io as io,
    metrics as metrics, nets as nets, people as people, proposals as proposals, sinks as sinks, spec as spec,
    steps as steps, tasks as tasks, text as text, tracking as tracking, train as train, view as view,
)
from .card import Card as Card
from .drawing import Style as Style, draw as draw
from .driving.lines import LaneLines as LaneLines
from .driving.situation import Situation as Situation
from .engine import FakeEngine as FakeEngine
from .errors import VisionError as VisionError
from .io import Info as Info, Source as Source, ahead as ahead, latest as latest, read as read
from .instances import Instances as Instances
from .item import Item as Item
from .people.attributes import AttributeGuesser as AttributeGuesser, Attributes as Attributes
from .people.body import Poses as Poses
from .people.face import Faces as Faces
from .people.cover import Covered as Covered
from .people.enrol import enrol as enrol
from .people.face_tracker import FaceTracker as FaceTracker
from .people.gallery import Gallery as Gallery
from .people.gestures import HandEvent as HandEvent
from .people.hand import Hands as Hands
from .people.hands import HandFinder as HandFinder, HandTracker as HandTracker
from .people.identities import Identities as Identities
from .people.identity import FaceEmbedder as FaceEmbedder
from .people.landmarks import FaceLandmarker as FaceLandmarker
from .people.outlines import PersonSegmenter as PersonSegmenter
from .people.person import PersonMask as PersonMask
from .people.pose import PoseEstimator as PoseEstimator, PoseTracker as PoseTracker
from .people.whole_pose import WholePoseEstimator as WholePoseEstimator
from .proposals.search import SelectiveSearch as SelectiveSearch
from .report import Report as Report
from .run import Run as Run
from .sinks import (
    Alto as Alto, Bag as Bag, BasisPicture as BasisPicture, CocoResults as CocoResults, ContactSheet as ContactSheet,
    Csv as Csv, Cutouts as Cutouts, Events as Events, HeatMapPicture as HeatMapPicture, Hocr as Hocr,
    InstanceMaps as InstanceMaps, JsonLines as JsonLines, LabelMaps as LabelMaps, Mcap as Mcap, MotText as MotText,
    PlainText as PlainText, Publish as Publish, SINKS as SINKS, SaveFrames as SaveFrames, Segments as Segments,
    Show as Show, Sink as Sink,
    SinkSpec as SinkSpec, Timeline as Timeline, VarianceMaps as VarianceMaps, VideoFile as VideoFile,
    YoloText as YoloText,
)
from .sinks.film import VideoWriter as VideoWriter
from .spec import Option as Option
from .steps import (
    BlurFaces as BlurFaces, Classify as Classify, Count as Count, DescribeFaces as DescribeFaces, Detect as Detect,
    Drive as Drive, EstimatePose as EstimatePose, FindFaces as FindFaces, FindHands as FindHands,
    FindLanes as FindLanes,
    Follow as Follow, Identify as Identify, Pool as Pool, ReadText as ReadText, Ready as Ready,
    RecognizeActions as RecognizeActions, Segment as Segment,
    SegmentInstances as SegmentInstances,
    Spec as Spec, Step as Step, TASKS as TASKS, Track as Track,
)
from .steps.plan import read_plan as read_plan
from .tasks.action import Recognizer as Recognizer
from .tasks.classify import Classifier as Classifier
from .tasks.detect import Detector as Detector
from .tasks.instances import InstanceSegmenter as InstanceSegmenter
from .tasks.prompted import PromptedSegmenter as PromptedSegmenter
from .tasks.segment import Segmenter as Segmenter
from .text.finder import TextFinder as TextFinder
from .text.lexicon import Lexicon as Lexicon
from .text.lines import TextEvent as TextEvent, Texts as Texts
from .text.reader import TextReader as TextReader
from .text.tracker import TextTracker as TextTracker
from .tracking import Counted as Counted, Counter as Counter, Event as Event, Target as Target, Tracker as Tracker
from .train.action import ActionSettings as ActionSettings
from .train.classify import ClassifySettings as ClassifySettings
from .train.detect import DetectSettings as DetectSettings
from .train.instances import InstanceSettings as InstanceSettings
from .train.segment import SegmentSettings as SegmentSettings
from .train.text import TextSettings as TextSettings
from .train.training import RECIPES as RECIPES, Training as Training
from .train.tuning import Tried as Tried, Tuning as Tuning
from .types import (
    Action as Action, ClassMap as ClassMap, Detections as Detections, Frame as Frame, Landmarks as Landmarks,
    Result as Result, Scores as Scores, Tracks as Tracks, UncertainMap as UncertainMap,
)
from .watch import Watch as Watch

__version__: str
