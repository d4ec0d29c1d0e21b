"""How to use an exported folder, in a few lines of each library."""

from __future__ import annotations

_OPEN_CLIP = """\
With [open_clip](https://github.com/mlfoundations/open_clip):

```python
import open_clip, torch
from PIL import Image
model, _, preprocess = open_clip.create_model_and_transforms("local-dir:DIR")
tokens = open_clip.get_tokenizer("local-dir:DIR")(["a cat", "a dog"])
image, text, scale = model.eval()(preprocess(Image.open("cat.jpg"))[None], tokens)[:3]
print((scale * image @ text.T).softmax(dim=-1))
```"""

_TRANSFORMERS = """\
With [transformers](https://github.com/huggingface/transformers):

```python
from PIL import Image
from transformers import CLIPModel, CLIPProcessor
model, processor = CLIPModel.from_pretrained("DIR"), CLIPProcessor.from_pretrained("DIR")
inputs = processor(text=["a cat", "a dog"], images=Image.open("cat.jpg"), padding=True,
                   truncation=True, return_tensors="pt")
print(model(**inputs).logits_per_image.softmax(dim=-1))
```"""

_ONNX = """\
With [onnxruntime](https://onnxruntime.ai) and
[tokenizers](https://github.com/huggingface/tokenizers) alone, in the folder. Images are uint8
(N, 3, side, side), RGB; normalisation is within the network. Rows have unit norm:

```python
import json, numpy as np, onnxruntime as ort
from PIL import Image
from tokenizers import Tokenizer
facts = json.load(open("onnx.json"))
side, image = facts["image_size"], Image.open("cat.jpg").convert("RGB")
resized = [side * pixels // min(image.size) for pixels in image.size]
left, top = (round((pixels - side) / 2) for pixels in resized)
image = image.resize(resized, Image.Resampling.BICUBIC).crop((left, top, left + side, top + side))
images = np.asarray(image).transpose(2, 0, 1)[None]
tokenizer = Tokenizer.from_file("tokenizer.json")
tokens = np.array([text.ids for text in tokenizer.encode_batch(["a cat", "a dog"])])
(image_rows,) = ort.InferenceSession("image.onnx").run(None, {"images": images})
(text_rows,) = ort.InferenceSession("text.onnx").run(None, {"tokens": tokens})
print(facts["scale"] * image_rows @ text_rows.T)
```"""

_TORCH_EXPORT = """\
With PyTorch alone, in the folder. Images are uint8 (N, 3, side, side), RGB; tokens are int64
(N, length). Rows have unit norm:

```python
import torch
image_tower = torch.export.load("image.pt2").module()
text_tower = torch.export.load("text.pt2").module()
```"""

_USAGES = {
    "open_clip": _OPEN_CLIP,
    "transformers": _TRANSFORMERS,
    "onnx": _ONNX,
    "torch_export": _TORCH_EXPORT,
}


def usage(format: str, repository: str | None) -> str:
    """Markdown: the lines to copy.

    Args:
        repository: ORG/NAME where the folder is uploaded to, if it is.
    """
    text = _USAGES[format]
    if repository is None:
        return text
    return text.replace("local-dir:DIR", f"hf-hub:{repository}").replace('"DIR"', f'"{repository}"')
