"""The recipe: one fine-tuning run, from a configuration to a verified result. Read it from top to bottom.

What it does: full fine-tuning, LoRA and QLoRA of causal language models with TRL's SFTTrainer, on one or more
processes of one node (DDP, or sharded with FSDP2), on GPUs or a CPU; resumes from the newest whole checkpoint; stops
at SIGTERM with one; stops at the first loss that is no number; measures the validation loss before, after each epoch
and at the end; exports an adapter or a model in safetensors with a model card and digests, here and to mounted folders.

What it doesn't: preference optimisation, several nodes, merging of adapters, other engines than TRL,
benchmarks. It never changes the batch after running out of memory: it says so and exits, and the operator decides.

Every rank runs this file as `python -m finetune_trainer.run`, started by the supervisor (`__main__.py`), to which it
leaves its result in WORK_DIR/run. Its own exit code is that of its outcome.
"""

from __future__ import annotations

import logging
import os

from finetune_api.contract import Outcome, Result, TrainerConfig
from finetune_trainer import process
from finetune_trainer.interruption import Interruption
from finetune_trainer.metrics_log import MetricsLog
from finetune_trainer.progress import Reporter
from finetune_trainer.rundir import WorkDir

log = logging.getLogger("finetune_trainer")


def recipe(
    config: TrainerConfig, work: WorkDir, interruption: Interruption, reporter: Reporter, *, rank: int
) -> Result:
    """Run it. The result of rank 0 counts. Raises Failure, or whatever the libraries raise."""
    reporter.stage("Loading")
    # torch and its companions take seconds to import, in which SIGTERM must already be heard
    from transformers import set_seed

    from finetune_trainer import (
        checkpoint,
        compiler,
        data,
        export,
        fetching,
        methods,
        model,
        report,
        sharding,
        space,
        training,
    )
    from finetune_trainer.device import detect, peak_memory
    from finetune_trainer.settings import batching, settings

    # What this is, where it runs, and where it goes
    device = detect(config, local_rank=int(os.environ.get("LOCAL_RANK", "0")))
    setup = settings(config, device)
    log.info("%s on %s: %s", config.method, device.name, setup)
    compiler.do_without(device)
    export.check_destinations(config)
    if rank == 0:
        checkpoint.sweep(work.checkpoints)

    # Inputs, pinned at the first start; rows become labelled tokens, packed or not
    with fetching.rank_0_first(work, rank):
        sources = fetching.fetch(config, work)
        architecture = model.load_config(sources.model, trust_remote_code=config.model.trust_remote_code)
        if config.training.packing:
            model.refuse_recurrent(architecture)
        tokenizer = model.load_tokenizer(sources.model, trust_remote_code=config.model.trust_remote_code)
        prepared = data.prepare(
            config, tokenizer, sources.train, sources.validation, model_limit=model.positions(architecture)
        )
    batch = batching(
        per_step=prepared.packs_per_step or config.training.effective_batch_size,
        micro_batch_size=config.training.micro_batch_size,
        processes=config.processes,
        one_by_one=prepared.packed and not setup.varlen,
    )

    # Model, and what of it is trained
    set_seed(config.training.seed)
    base = model.load_model(sources.model, architecture, config, setup, device)
    config = methods.decided(config, base)
    tuned = methods.trainable(base, config)

    # Training, from the newest checkpoint on
    metrics = MetricsLog(work.metrics, writes=rank == 0)
    made_with = checkpoint.fingerprint(
        config, data=prepared.digest, per_step=batch.micro_batch_size * batch.accumulation * config.processes
    )
    trainer = training.FineTuner(
        config=config,
        settings=setup,
        channels=training.Channels(interruption=interruption, reporter=reporter, metrics=metrics),
        made_with=made_with,
        args=training.arguments(config, setup, batch, packed=prepared.packed),
        model=tuned,
        train=prepared.train,
        validation=prepared.validation,
        tokenizer=tokenizer,
    )
    start = checkpoint.newest(work.checkpoints, made_with=made_with)
    metrics.begin(start.step if start else 0)
    if start is None:
        trained = (parameter for parameter in tuned.parameters() if parameter.requires_grad)
        keep = config.checkpoint.keep
        space.check(work.root, space.needed_bytes(trained, optimizer=setup.optimizer, keep=keep), keep=keep)
    if start is None and prepared.validation is not None and config.processes == 1:
        # Of several processes `train` does it: accelerate would not share what it has once prepared for evaluation.
        trainer.evaluate()
    interruption.defer()
    trainer.train(resume_from_checkpoint=str(start.path) if start else None)
    training.must_be_done(trainer, work, interruption)
    if (peak := peak_memory()) is not None and device.kind == "cuda":
        log.info("peak GPU memory %s", peak)

    # The result, written, verified and copied
    reporter.stage("Exporting")
    measured = report.measured(prepared, metrics, steps=trainer.state.max_steps)
    outputs = []
    weights = sharding.gathered(trainer.model, adapter=config.method != "full") if setup.sharded else None
    if rank == 0:
        card = export.card(
            config, measured, resolved=sources.resolved, base_license=report.base_license(config, sources)
        )
        outputs = export.export(
            config,
            trainer.accelerator.unwrap_model(trainer.model),
            tokenizer,
            weights=weights,
            card=card,
            model_revision=sources.resolved.model_revision,
            interruption=interruption,
        )
    trainer.accelerator.wait_for_everyone()
    interruption.check(trainer.state.max_steps)
    reporter.stage("Done")
    return Result(
        outcome=Outcome.SUCCEEDED,
        reason="Succeeded",
        message=report.sentence(measured),
        step=trainer.state.max_steps,
        resumed_from_step=start.step if start else None,
        metrics=measured.metrics,
        outputs=outputs,
        resolved=sources.resolved,
    )


if __name__ == "__main__":
    process.main(recipe)
