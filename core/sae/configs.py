"""An autoencoder's files by name, and what a configuration of SAELens, of any version, says; loads no torch.

A key that is not known here may change what the autoencoder computes: it is refused by name, never passed over.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import BadInput

CONFIG = "cfg.json"
WEIGHTS = "sae_weights.safetensors"
SPARSITY = "sparsity.safetensors"
"""Firing rates beside the weights, log10."""
SPARSIFY_WEIGHTS = "sae.safetensors"
GEMMA_SCOPE = "params.npz"
GEMMA_SCOPE_2 = "params.safetensors"
GEMMA_SCOPE_2_CONFIG = "config.json"
WEIGHT_FILES = (WEIGHTS, SPARSIFY_WEIGHTS, GEMMA_SCOPE, GEMMA_SCOPE_2)
"""The weights of each layout that can be read; of several in one folder the first counts."""
PICKLES = (".pt", ".pth", ".ckpt", ".bin")
"""Suffixes of pickles, which `saeflow import-sae` and `import-activations` rewrite."""
ARCHITECTURES = (
    "topk",
    "jumprelu",
    "standard",
    "gated",
    "batchtopk",
    "matryoshka_batchtopk",
    "transcoder",
    "jumprelu_transcoder",
)
"""What SAELens calls the kinds that can be read."""
_BATCHTOPK = ("batchtopk", "matryoshka_batchtopk")
_HEADS = ("hook_head_index", "hook_point_head_index")
_SAVE_AGAIN = "load it in SAELens 6 or later and save it again"
_COMPUTE = """
    architecture d_in d_sae d_out k apply_b_dec_to_input normalize_activations reshape_activations
    rescale_acts_by_decoder_norm activation_fn activation_fn_str activation_fn_kwargs finetuning_scaling_factor
"""
# How it was trained, on what and where: every field that SAELens 0.1 to 6.54 wrote into cfg.json beside those above.
_TELL = """
    metadata dtype device model_name model_class_name model_kwargs model_from_pretrained_kwargs neuronpedia_id
    hook_point hook_point_layer hook_point_head_index hook_point_eval hook_name hook_layer hook_head_index hook_eval
    hook_name_out hook_layer_out hook_head_index_out hf_hook_name hf_hook_name_out prepend_bos exclude_special_tokens
    context_size seqpos_slice dataset_path dataset_trust_remote_code is_dataset_tokenized streaming
    use_chat_formatting disable_concat_sequences sequence_separator_token sae_lens_version sae_lens_training_version
    use_cached_activations cached_activations_path new_cached_activations_path from_pretrained_path
    n_batches_in_buffer tokens_per_buffer training_tokens total_training_tokens finetuning_tokens finetuning_method
    store_batch_size store_batch_size_prompts train_batch_size train_batch_size_tokens activations_mixing_fraction
    act_store_device llm_device prefetch_llm_batches seed autocast autocast_lm compile_llm llm_compilation_mode
    compile_sae sae_compilation_mode b_dec_init_method expansion_factor normalize_sae_decoder noise_scale
    decoder_orthogonal_init decoder_heuristic_init decoder_heuristic_init_norm decoder_init_norm
    init_encoder_as_decoder_transpose adam_beta1 adam_beta2 mse_loss_normalization l1_coefficient lp_norm
    scale_sparsity_penalty_by_decoder_norm l1_warm_up_steps lr lr_scheduler_name lr_warm_up_steps lr_end
    lr_decay_steps n_restart_cycles use_ghost_grads feature_sampling_window feature_sampling_method resample_batches
    feature_reinit_scale dead_feature_window dead_feature_threshold dead_feature_estimation_method n_eval_batches
    eval_batch_size_prompts log_to_wandb log_activations_store_to_wandb log_optimizer_state_to_wandb
    log_weights_to_wandb wandb_project wandb_id wandb_entity wandb_log_frequency eval_every_n_wandb_logs run_name
    logger resume resume_from_checkpoint n_checkpoints checkpoint_path save_final_checkpoint output_path verbose
    n_batches_for_norm_estimate jumprelu_init_threshold jumprelu_bandwidth jumprelu_sparsity_loss_mode
    jumprelu_tanh_scale jumprelu_ste_to_input l0_coefficient l0_warm_up_steps pre_act_loss_coefficient target_l0
    topk_threshold_lr use_sparse_activations aux_loss_coefficient matryoshka_widths use_matryoshka_aux_loss
"""
_KNOWN = frozenset((_COMPUTE + _TELL).split())


def weights_file(folder: Path) -> str | None:
    """The name of the weights in an autoencoder's folder; null where it has none that can be read."""
    return next((name for name in WEIGHT_FILES if (folder / name).is_file()), None)


def read_config(path: Path, *keys: str) -> dict[str, Any]:
    """A JSON object that has these keys.

    Raises:
        BadInput: it is not there, no JSON, or lacks one of them.
    """
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BadInput(f"{path}: not valid JSON ({error})") from error
    if not isinstance(config, dict):
        raise BadInput(f"{path}: holds {type(config).__name__}, not an object of keys and values")
    missing = [key for key in keys if key not in config]
    if missing:
        raise BadInput(f"{path}: key {missing[0]!r} is missing")
    return config


def refuse_unknown(config: Mapping[str, Any], known: frozenset[str], path: Path) -> None:
    """Name the keys that are not known; one that is null says nothing.

    Raises:
        BadInput: there is one.
    """
    unknown = sorted(key for key, value in config.items() if key not in known and value is not None)
    if unknown:
        several = f"s {', '.join(map(repr, unknown))} are" if len(unknown) > 1 else f" {unknown[0]!r} is"
        raise BadInput(f"{path}: key{several} not known and may change what the SAE computes; remove what does not")


def count(config: Mapping[str, Any], key: str, path: Path, most: int | None = None) -> int:
    """A whole number of at least 1, and at most `most`.

    Raises:
        BadInput: the value is something else.
    """
    value = config[key]
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole or isinstance(value, bool) or value < 1 or (most is not None and value > most):
        must = f"lie between 1 and d_sae, {most}" if most is not None else "be a whole number of at least 1"
        raise BadInput(f"{path}: {key} is {value!r}; it must {must}")
    return int(value)


@dataclass(frozen=True)
class SAELensConfig:
    """What a cfg.json of SAELens says that decides what the autoencoder computes.

    `rescale` says that activations are scaled by the norms of their decoder rows before it is decided which fire.
    """

    architecture: str
    d_in: int
    d_sae: int
    d_out: int
    k: int | None
    apply_b_dec_to_input: bool
    rescale: bool

    @property
    def transcodes(self) -> bool:
        """Whether another site's rows come out."""
        return "transcoder" in self.architecture

    @property
    def one_threshold(self) -> bool:
        """Whether one number is every feature's threshold: a BatchTopK's training checkpoint."""
        return self.architecture in _BATCHTOPK


def saelens_config(path: Path) -> SAELensConfig:
    """Read a cfg.json of any version of SAELens; those before `architecture` name it by their activation function.

    Raises:
        BadInput: a key is missing, unknown, or has a value that cannot be read.
    """
    config = read_config(path, "d_in", "d_sae")
    refuse_unknown(config, _KNOWN, path)
    if not isinstance(config.get("metadata"), dict | None):
        raise BadInput(f"{path}: metadata is {config['metadata']!r}, not keys and values")
    _refuse_values(config, path)
    d_in, d_sae = count(config, "d_in", path), count(config, "d_sae", path)
    architecture, k = _architecture(config, path, d_sae)
    rescale = bool(config.get("rescale_acts_by_decoder_norm"))
    if rescale and k is None and architecture not in _BATCHTOPK:
        raise BadInput(f"{path}: rescale_acts_by_decoder_norm is true; SAELens knows it of TopK alone; {_SAVE_AGAIN}")
    centred = config.get("apply_b_dec_to_input") is not False
    d_out = count(config, "d_out", path) if config.get("d_out") is not None else d_in
    if d_out != d_in and "transcoder" not in architecture:
        raise BadInput(f"{path}: d_out is {d_out} and d_in {d_in}; only a transcoder has two widths")
    return SAELensConfig(architecture, d_in, d_sae, d_out, k, centred, rescale)


def _refuse_values(config: Mapping[str, Any], path: Path) -> None:
    scaled = config.get("normalize_activations")
    if scaled not in (None, False, "none"):
        one_factor = scaled in (True, "expected_average_only_in")
        fix = (
            "fold_activation_norm_scaling_factor of SAELens folds it into the weights" if one_factor else "save another"
        )
        raise BadInput(f"{path}: normalize_activations is {scaled!r}; what can be read is none: {fix}")
    for key in ("apply_b_dec_to_input", "rescale_acts_by_decoder_norm"):
        if not isinstance(config.get(key), bool | None):
            raise BadInput(f"{path}: {key} is {config[key]!r}; write true or false")
    if config.get("reshape_activations") not in (None, "none", "hook_z"):  # hook_z: heads side by side, as attn_z
        raise BadInput(f"{path}: reshape_activations is {config['reshape_activations']!r}; what can be read is none")
    if config.get("finetuning_scaling_factor"):
        raise BadInput(f"{path}: finetuning_scaling_factor is set; fold it into W_dec and b_dec, or save without it")
    heads = (part.get(key) for part in (config, config.get("metadata") or {}) for key in _HEADS)
    head = next((value for value in heads if value is not None), None)
    if head is not None:
        raise BadInput(f"{path}: hook_head_index is {head!r}; an SAE of one head's rows cannot be used on whole rows")


def _refuse_mean_k(named: str | None, k: Any, path: Path, d_sae: int) -> None:
    """A BatchTopK fires k features per row on average, which need not be a whole number."""
    if named in _BATCHTOPK and k is not None and not (type(k) in (int, float) and 0 < k <= d_sae):
        raise BadInput(f"{path}: k is {k!r}; it must lie between 0 and d_sae, {d_sae}")


def _architecture(config: Mapping[str, Any], path: Path, d_sae: int) -> tuple[str, int | None]:
    """The kind, and `k` of a TopK. Before 6, `standard` was every kind, and the activation function said which."""
    named = config.get("architecture")
    if named not in (None, *ARCHITECTURES):
        raise BadInput(f"{path}: architecture is {named!r}; what can be read is {', '.join(ARCHITECTURES)}")
    key = "activation_fn_str" if config.get("activation_fn_str") is not None else "activation_fn"
    function = config.get(key)
    extra = config.get("activation_fn_kwargs") or {}
    if not isinstance(extra, Mapping):
        raise BadInput(f"{path}: activation_fn_kwargs is {extra!r}, not keys and values")
    refuse_unknown({key: value or None for key, value in extra.items()}, frozenset({"k"}), path)
    is_topk = named == "topk" or (named in (None, "standard") and function == "topk" and "k" in extra)
    if function not in (None, "relu") and not (is_topk and function == "topk"):
        raise BadInput(f"{path}: {key} is {function!r}; {_SAVE_AGAIN}")
    if not is_topk:
        _refuse_mean_k(named, config.get("k"), path, d_sae)
        return named or "standard", None
    stated = {"k": config["k"]} if config.get("k") is not None else extra
    if "k" not in stated:
        raise BadInput(f"{path}: key 'k' is missing")
    if "k" in extra and extra["k"] != stated["k"]:
        raise BadInput(
            f"{path}: k is {stated['k']!r}, and activation_fn_kwargs says {extra['k']!r}; keep the right one"
        )
    return "topk", count(stated, "k", path, d_sae)
