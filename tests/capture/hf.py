"""Hugging Face models from configurations: tiny, random weights, nothing downloaded."""

import torch
import transformers

WIDTHS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
TEXT = {"vocab_size": 99, **WIDTHS}
HALVES = {
    f"{half}_{what}": size
    for half in ("encoder", "decoder")
    for what, size in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 24))
}


def bert(**options):
    return transformers.BertModel(transformers.BertConfig(**TEXT, **options))


def gpt2(**options):
    return transformers.GPT2Model(transformers.GPT2Config(vocab_size=99, n_embd=16, n_layer=2, n_head=4, **options))


def llama(**options):
    return transformers.LlamaModel(transformers.LlamaConfig(**TEXT, num_key_value_heads=2, **options))


def t5(**options):
    sizes = {"vocab_size": 99, "d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 2, "num_heads": 4}
    return transformers.T5Model(transformers.T5Config(**sizes, **options))


def bart(**options):
    sizes = {"vocab_size": 99, "d_model": 16, "max_position_embeddings": 32}
    return transformers.BartModel(transformers.BartConfig(**sizes, **HALVES, **options))


def vit(**options):
    sizes = {"image_size": [16, 24], "patch_size": 8} | options
    return transformers.ViTModel(transformers.ViTConfig(**WIDTHS, **sizes))


def vivit(**options):
    sizes = {"image_size": 16, "num_frames": 4, "tubelet_size": [2, 8, 8]}
    return transformers.VivitModel(transformers.VivitConfig(**WIDTHS, **sizes, **options))


def detr(**options):
    """Six queries; a picture of 64 x 96 gives six places, so that lengths alone tell nothing."""
    features = {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "layer_type": "basic", "out_features": ["stage4"]}
    backbone = {"backbone_config": transformers.ResNetConfig(embedding_size=8, **features), "backbone": None}
    backbone |= {"use_timm_backbone": False, "use_pretrained_backbone": False}
    return transformers.DetrModel(transformers.DetrConfig(d_model=16, num_queries=6, **HALVES, **backbone, **options))


def ids():
    return torch.randint(5, 90, (2, 7))


def padded():
    """Token ids, and a mask that hides the last two of the second item."""
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 5:] = 0
    return {"input_ids": ids(), "attention_mask": mask}


class Tokenizer:
    """What a record asks of a tokenizer."""

    def convert_ids_to_tokens(self, ids):
        return [f"word{i}" for i in ids]
