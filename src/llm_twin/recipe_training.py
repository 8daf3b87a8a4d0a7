"""A recipe's sections on training: base model, SFT, DPO, GPTQ, and where their steps run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from llm_twin.recipe_parts import Section


class SeedlingRecipe(Section):
    """The seedling: a small Llama, trained on the spot on prose from installed packages' documentation."""

    packages: list[str] = Field(
        default=[
            "scipy", "numpy", "scikit-learn", "pandas", "networkx", "statsmodels", "nltk",
            "SQLAlchemy", "matplotlib", "trl", "peft", "datasets",
        ],
        description="distributions whose docstrings are read; the versions that are installed count",
    )  # fmt: skip
    max_words: int = Field(default=700_000, ge=1000, description="of the corpus, taken evenly from it")
    vocabulary: int = Field(default=4096, ge=300)
    hidden_size: int = Field(default=192, ge=16)
    layers: int = Field(default=6, ge=1)
    heads: int = Field(default=6, ge=1)
    key_value_heads: int = Field(default=2, ge=1)
    intermediate_size: int = Field(default=512, ge=32)
    context: int = Field(default=2048, ge=64, description="positions the model accepts")
    block: int = Field(default=256, ge=16, description="tokens of one training sequence")
    batch_size: int = Field(default=4, ge=1)
    steps: int = Field(default=640, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)


class TrainingRecipe(Section):
    """Training: a base model, SFT, DPO, GPTQ."""

    seed: int = 20
    base_model: str = Field(
        default="seedling",
        description="seedling, a local folder, a hub id, or none: nothing is trained, serving.endpoint answers",
    )
    base_revision: str = Field(default="", description="commit, tag or branch of a hub model")
    chat_template: str = Field(default="", description="alpaca, chatml, llama3, twin or a file; empty: the model's own")
    seedling: SeedlingRecipe = SeedlingRecipe()
    method: Literal["lora", "qlora", "full"] = "lora"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    attention: Literal["auto", "sdpa", "flash_attention_2", "eager"] = "auto"
    liger: Literal["auto", "on", "off"] = Field(default="auto", description="fused kernels where they are present")
    gradient_checkpointing: Literal["auto", "on", "off"] = "auto"
    batching: Literal["auto", "length", "packed", "plain"] = Field(
        default="auto",
        description="how a step is computed: in parts of similar length, packed into rows, or as it comes",
    )
    max_length: int = Field(default=512, ge=16)
    lora_rank: int = Field(default=16, ge=1)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    sft_epochs: float = Field(default=3, gt=0)
    sft_learning_rate: float = Field(default=2e-4, gt=0)
    sft_batch_size: int = Field(default=8, ge=1)
    rejected_from: Literal["dataset", "base", "sft"] = Field(
        default="dataset",
        description="who writes rejected sides of pairs anew: nobody, the base, the fine-tuned",
    )
    model_written_share: float = Field(default=0.5, ge=0, le=1, description="of the pairs, where a model writes")
    dpo_epochs: float = Field(default=1, ge=0)
    dpo_learning_rate: float = Field(default=1e-5, gt=0)
    dpo_beta: float = Field(default=0.1, gt=0)
    dpo_batch_size: int = Field(default=4, ge=1)
    dpo_loss: Literal["sigmoid", "hinge", "ipo", "robust", "apo_zero", "apo_down"] = "sigmoid"
    dpo_sft_weight: float = Field(default=0.0, ge=0, description="weight of the chosen text's own likelihood")
    gradient_accumulation: int = Field(default=1, ge=1)
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear", description="how the learning rate falls after the warm-up"
    )
    warmup_share: float = Field(default=0.05, ge=0, lt=1, description="of all steps")
    weight_decay: float = Field(default=0.01, ge=0)
    max_gradient_norm: float = Field(default=1.0, gt=0)
    evaluations: int = Field(default=3, ge=1, description="of the validation loss while SFT runs")
    early_stopping: int = Field(default=0, ge=0, description="evaluations without gain before stopping; 0 is never")
    force: bool = Field(default=False, description="go on though the preflight refuses")
    save_steps: int = Field(default=50, ge=1, description="steps between checkpoints")
    quantize_bits: Literal[3, 4, 8] = 4
    quantize_group_size: int = 64
    quantize_samples: int = Field(default=32, ge=1, description="texts of the author that calibrate GPTQ")


class NodePool(Section):
    """Kubernetes settings of a training step; ignored on one machine."""

    accelerator: str = "nvidia.com/gpu"
    accelerators: int = Field(default=1, ge=0)
    cpu: str = "8"
    memory: str = "32Gi"
    node_selector: dict[str, str] = {}
    toleration_key: str = "nvidia.com/gpu"
    nodes: int = Field(default=1, ge=1, description="of a TrainJob; each has its own accelerators")
    sharding: Literal["none", "fsdp", "deepspeed"] = Field(default="none", description="of a TrainJob's model")
    training_runtime: str = Field(default="torch-distributed", description="ClusterTrainingRuntime of a TrainJob")
    training_volume: str = Field(
        default="",
        description="ReadWriteMany claim that a TrainJob's pods and its step share; with it, SFT and DPO are TrainJobs",
    )
    shared_memory: str = ""
    ephemeral_storage: str = ""
    queue: str = ""
    cost_per_hour: float = Field(default=0.0, ge=0, description="of one node, in any currency; 0: costs are not shown")

    @model_validator(mode="after")
    def _needs_volume(self) -> NodePool:
        if (self.nodes > 1 or self.sharding != "none") and not self.training_volume:
            raise ValueError("several nodes, or sharding, need a training_volume: the claim that all pods share")
        return self
