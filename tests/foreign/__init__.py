"""Models such as others write: each with its data and its layers in forward order.

They are tiny, but built as people build them: custom layers, `add_weight`, `add_loss`, shared and
wrapped layers, training steps and optimizers of their own.
"""

from tests.foreign.nets import decoder, graph_net, text, unet, video, vision_transformer
from tests.foreign.parts import BATCH, UPDATES
from tests.foreign.trainings import autoencoder, diffusion, distiller, gan, siamese

__all__ = [
    "BATCH",
    "UPDATES",
    "autoencoder",
    "decoder",
    "diffusion",
    "distiller",
    "gan",
    "graph_net",
    "siamese",
    "text",
    "unet",
    "video",
    "vision_transformer",
]
