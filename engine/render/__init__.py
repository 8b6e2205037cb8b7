r"""A score becomes files: MIDI, sound and a picture.

score --write_midi--> MIDI bytes --FluidSynth--> samples --master--> WAV --fit--> what is posted
   \--draw_roll--> PNG
"""

from engine.render.formats import Attachment, fit
from engine.render.pool import RenderPool, fitting_workers
from engine.render.renderer import Rendered, Renderer
from engine.render.tags import read_recipe

__all__ = ["Attachment", "RenderPool", "Rendered", "Renderer", "fit", "fitting_workers", "read_recipe"]
