"""`python -m e2e.demo`: a real cluster, a real FineTuneJob, its adapter, and what it is worth.

With CLUSTER=current it uses the cluster of the current kubeconfig, and REGISTRY=HOST/PREFIX says where images are
pushed that this cluster can pull; otherwise the project's own one-node cluster, started if it isn't up.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e import claims
from e2e.cluster.layout import layout
from e2e.demo.announce import TREE, DemoError, fail, finish, run, say, start, step
from e2e.demo.compare import Comparison, as_text
from e2e.demo.comparing import compare_in_pod
from e2e.demo.make_data import make_data
from e2e.demo.make_model import cache_folder, cached_model
from e2e.demo.watching import show, until_gone, until_succeeded
from e2e.kubectl import Kubectl, KubectlError, Object, environment

JOB = "quickstart"
JOB_FILE = "examples/quickstart.yaml"
DATA_CLAIM = "quickstart-data"
WORK_CLAIM = f"{JOB}-work"
NAMESPACE = "finetune-demo"
SYSTEM_NAMESPACE = "finetune-system"


def demo() -> None:
    """The whole of it, in the order in which it happens."""
    began = time.monotonic()
    modelling = start_making_the_model()
    try:
        env = bring_up_the_cluster()
        images = build_the_images(env)
        install_the_operator(env, images)
        kube = prepare_the_namespace(env)
        model = wait_for_the_model(modelling)
        put_model_and_data_on_the_claim(kube, images, model)
        submit_the_job(kube)
        job = watch_the_job(kube)
        adapter = copy_the_result_out(kube, images)
        shown = compare_base_and_result(kube, images)
        tell_what_came_of_it(kube, job, adapter, model, shown, env, seconds=time.monotonic() - began)
    finally:
        modelling.terminate()


def start_making_the_model() -> subprocess.Popen[str]:
    """In the background: it takes as long as building the images, and needs none of them."""
    command = [sys.executable, "-c", "from e2e.demo.make_model import cached_model; cached_model()"]
    return start(command, why="making the base model", env={**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1"})


def bring_up_the_cluster() -> dict[str, str]:
    """The environment in which kubectl and helm speak to the cluster."""
    if os.environ.get("CLUSTER") == "current":
        with step("use the cluster of the current kubeconfig"):
            for program in ("kubectl", "helm"):
                if shutil.which(program) is None:
                    raise DemoError(f"CLUSTER=current needs {program} on PATH")
            run(["kubectl", "version"], why="speaking to the cluster", env=os.environ)
        return dict(os.environ)
    with step("bring up a one-node cluster (the first time it is built, which takes about 12 minutes)"):
        run([sys.executable, "-m", "e2e.cluster", "up"], why="bringing up the cluster", env=os.environ)
    where = layout()
    return environment(os.environ, kubeconfig=where.kubeconfig, path=where.path)


def build_the_images(env: Mapping[str, str]) -> dict[str, str]:
    """References by digest of the images `operator` and `trainer`."""
    with step("build the operator's and the trainer's image from this tree"):
        run([sys.executable, "-m", "e2e.images", "build"], why="building the images", env=env)
    references: dict[str, str] = json.loads((layout().run / "images.json").read_text(encoding="utf-8"))
    return references


def install_the_operator(env: Mapping[str, str], images: Mapping[str, str]) -> None:
    """With Helm, as on any cluster."""
    values = {"image": {"reference": images["operator"]}, "trainer": {"image": images["trainer"]}}
    command = ("helm", "upgrade", "--install", "finetune-operator", "charts/finetune-operator")
    where = ("--namespace", SYSTEM_NAMESPACE, "--create-namespace", "--wait", "--timeout=3m", "--values=-")
    with step("install the operator with Helm"):
        try:
            run([*command, *where], why="installing the operator", env=env, stdin=json.dumps(values))
        except DemoError:
            kube = Kubectl(env, SYSTEM_NAMESPACE)
            show(kube, "get", "pods", "-o", "wide")
            show(kube, "get", "events", "--field-selector=type=Warning")
            show(kube, "logs", "deployment/finetune-operator", "--tail=20")
            raise


def prepare_the_namespace(env: Mapping[str, str]) -> Kubectl:
    """A namespace that enforces the restricted Pod Security Standard, with nothing left of an earlier demo's job."""
    kube = Kubectl(env, NAMESPACE)
    with step(f"prepare the namespace {NAMESPACE}"):
        label = {"pod-security.kubernetes.io/enforce": "restricted"}
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": label}})
        kube.delete("finetunejob", JOB)
        until_gone(kube, JOB)
    return kube


def wait_for_the_model(modelling: subprocess.Popen[str]) -> Path:
    """The folder of the base model."""
    with step("make a small base model, or take it from the cache (made in the background meanwhile)"):
        finish(modelling, why="making the base model")
    return cached_model()


def put_model_and_data_on_the_claim(kube: Kubectl, images: Mapping[str, str], model: Path) -> None:
    """By a short-lived pod and tar: that works on every cluster and with every StorageClass."""
    with step(f"put the model and the data on the claim {DATA_CLAIM}"), tempfile.TemporaryDirectory() as folder:
        train, test = make_data(Path(folder))
        kube.apply(claims.claim(DATA_CLAIM, "1Gi"))
        files = {"model": model, "train.jsonl": train, "test.jsonl": test}
        claims.put(kube, DATA_CLAIM, images["trainer"], files)


def submit_the_job(kube: Kubectl) -> None:
    """All that a user does."""
    with step(f"kubectl apply -f {JOB_FILE}"):
        say(kube("apply", "-f", str(TREE / JOB_FILE)))


def watch_the_job(kube: Kubectl) -> Object:
    """The job, which has succeeded."""
    with step(f"kubectl get ftj {JOB} -w"):
        return until_succeeded(kube, JOB)


def copy_the_result_out(kube: Kubectl, images: Mapping[str, str]) -> Path:
    """The folder of the adapter on this machine; a claim is read by a pod that mounts it."""
    into = cache_folder() / "demo" / "result"
    with step(f"copy the result from the claim {WORK_CLAIM} to this machine"):
        shutil.rmtree(into, ignore_errors=True)
        return claims.take(kube, WORK_CLAIM, images["trainer"], "output", into)


def compare_base_and_result(kube: Kubectl, images: Mapping[str, str]) -> Comparison:
    """In a pod that has only what anyone has who loads an adapter."""
    with step("compare the base model and the result on rows that were held out"):
        return compare_in_pod(kube, images["trainer"], data=DATA_CLAIM, work=WORK_CLAIM)


def tell_what_came_of_it(
    kube: Kubectl,
    job: Object,
    adapter: Path,
    model: Path,
    shown: Comparison,
    env: Mapping[str, str],
    *,
    seconds: float,
) -> None:
    """Figures, places, and what to try next. DemoError if the job taught the model nothing."""
    print(f"\n{as_text(shown)}\n")
    if shown.tuned.exact_match <= shown.base.exact_match:
        raise DemoError("the result is no better than the base model; see `kubectl describe ftj` and the job's log")
    [output] = job["status"]["outputs"]
    own = (
        ""
        if os.environ.get("CLUSTER") == "current"
        else f"export KUBECONFIG={env['KUBECONFIG']} PATH={layout().path}:$PATH\n"
    )
    print(f"""The adapter: {output["uri"]} ({output["digest"]}),
copied to {adapter}

The whole demo took {seconds:.0f} s. Next:

{own}kubectl -n {NAMESPACE} describe ftj {JOB}    # sizing, conditions, metrics, outputs
kubectl -n {NAMESPACE} delete ftj {JOB}      # the job, its pods and its volume; the copy above stays
make clean                                           # the cluster too

In Python:

from peft import PeftModel
from transformers import AutoModelForCausalLM
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("{model}"), "{adapter}")
""")


def main(arguments: Sequence[str] | None = None) -> int:
    formatter = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(prog="python -m e2e.demo", description=__doc__, formatter_class=formatter).parse_args(
        arguments
    )
    try:
        demo()
    except (DemoError, KubectlError, TimeoutError, OSError) as error:
        return fail(error)
    except KeyboardInterrupt:
        print("\nstopped; what runs on the cluster runs on. The same command begins anew.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
