"""Job files that differ in a value, its type or its bounds."""

from __future__ import annotations

from tests.finetune_api.manifest_cases import Case, job

NAME = "metadata.name: the name must be a DNS label of at most 50 characters"

CASES = [
    Case("shortest", job()),
    # names
    Case("name of 50", job(name="a" * 50)),
    Case("name of 51", job(name="a" * 51), NAME),
    Case("name with a dot", job(name="a.b"), NAME),
    Case("name in capitals", job(name="Probe"), NAME),
    Case("name is a number", job(name="12"), "metadata.name: must be a string, not 12; put it in quotes"),
    Case("name is quoted", job(name='"12"')),
    Case(
        "unknown field of metadata",
        job().replace("{name: probe}", "{name: probe, lables: {}}"),
        'metadata.lables: unknown field; did you mean "labels"?',
    ),
    Case(
        "labels and annotations", job().replace("{name: probe}", "{name: probe, labels: {a: b}, annotations: {c: d}}")
    ),
    Case(
        "label is a number",
        job().replace("{name: probe}", "{name: probe, labels: {a: 1}}"),
        "metadata.labels.a: must be a string, not 1; put it in quotes",
    ),
    # required, unknown, wrong type
    Case(
        "no spec",
        "apiVersion: finetune.dev/v1alpha1\nkind: FineTuneJob\nmetadata: {name: probe}\n",
        "spec: is required",
    ),
    Case("no method", job(method="~"), "spec.method: is required"),
    Case("no source", job(model="{revision: main}"), "spec.model.source: is required"),
    Case("unknown field", job("learningRate: 1"), "spec.learningRate: unknown field"),
    Case(
        "unknown nested field",
        job("training: {learningrate: 1}"),
        'spec.training.learningrate: unknown field; did you mean "learningRate"?',
    ),
    Case(
        "snake case",
        job("training: {learning_rate: 1}"),
        'spec.training.learning_rate: unknown field; did you mean "learningRate"?',
    ),
    Case(
        "version", job().replace("v1alpha1", "v2"), 'apiVersion: must be finetune.dev/v1alpha1, not "finetune.dev/v2"'
    ),
    Case("mapping for a value", job("image: {}"), "spec.image: must be a string, not a mapping"),
    Case("value for a mapping", job("training: 3"), "spec.training: must be a mapping, not 3"),
    Case("list for a mapping", job("training: []"), "spec.training: must be a mapping, not a list"),
    Case("value for a list", job("adapter: {targetModules: all-linear}"), "spec.adapter.targetModules: must be a list"),
    # numbers
    Case("learning rate without a point", job("training: {learningRate: 2e-4}")),
    Case(
        "learning rate in words",
        job("training: {learningRate: fast}"),
        'spec.training.learningRate: must be a number, not "fast"',
    ),
    Case("integer as a float", job("training: {effectiveBatchSize: 16.0}")),
    Case("integer with an exponent", job("training: {effectiveBatchSize: 1e1}")),
    Case("integer in hexadecimal", job("training: {effectiveBatchSize: 0x10}")),
    Case(
        "integer in quotes",
        job('training: {effectiveBatchSize: "3"}'),
        'must be an integer, not "3"; take the quotes away',
    ),
    Case("fraction for an integer", job("training: {effectiveBatchSize: 1.5}"), "must be an integer, not 1.5"),
    Case("integer for a number", job("training: {epochs: 3}")),
    Case("number in quotes", job('training: {epochs: "3"}'), 'must be a number, not "3"; take the quotes away'),
    Case("boolean for an integer", job("training: {seed: yes}"), "must be an integer, not true"),
    Case("boolean for a number", job("training: {epochs: true}"), "must be a number, not true"),
    Case("too large for 64 bits", job("training: {seed: 99999999999999999999}"), "spec.training.seed: "),
    Case("infinity", job("training: {learningRate: .inf}"), "`.inf` is not a number that JSON has"),
    Case("at an open bound", job("training: {epochs: 0}"), "spec.training.epochs: must be greater than 0, not 0"),
    Case("at a closed bound", job("retry: {maxAttempts: 1}")),
    Case("below a bound", job("retry: {maxAttempts: 0}"), "spec.retry.maxAttempts: must be at least 1, not 0"),
    Case("above a bound", job("training: {warmupRatio: 1.01}"), "spec.training.warmupRatio: must be at most 1"),
    Case("dropout of one", job("adapter: {dropout: 1}"), "spec.adapter.dropout: must be less than 1"),
    # booleans
    Case("boolean in words", job("suspend: yes")),
    Case("boolean in one letter", job("suspend: n")),
    Case(
        "string for a boolean",
        job('suspend: "true"'),
        'spec.suspend: must be true or false, not "true"; take the quotes away',
    ),
    Case("number for a boolean", job("suspend: 1"), "spec.suspend: must be true or false, not 1"),
    # strings
    Case("number for a string", job("image: 3"), "spec.image: must be a string, not 3; put it in quotes"),
    Case("boolean for a string", job("image: on"), "spec.image: must be a string, not true; put it in quotes"),
    Case("date for a string", job("image: 2001-01-01")),
    Case("empty string", job('image: ""'), "spec.image: string should have at least 1 character"),
    Case("string at its limit", job(f"image: {'é' * 512}")),
    Case("string too long", job(f"image: {'é' * 513}"), "spec.image: string should have at most 512 characters"),
    Case("a space", job('image: "a b"'), 'spec.image: "a b" does not have the form'),
    Case("a wide space", job('image: "a\\u3000b"')),
    Case("a line break at the end", job('image: "a\\n"'), "spec.image: "),
    Case("unknown scheme", job(model="{source: http://org/model}"), "spec.model.source: "),
    Case("scheme alone", job(model='{source: "hf://"}'), "spec.model.source: "),
    Case("enum", job(method="qlora")),
    Case(
        "not of the enum",
        job(method="loar"),
        'spec.method: must be full or lora or qlora or ia3, not "loar"; did you mean "lora"?',
    ),
    Case("enum's case", job(method="LoRA"), "spec.method: must be"),
    # quantities
    Case("quantities", job("resources: {cpu: 500m, memory: 64Gi}\nstorage: {size: 1.5Ti}")),
    Case("quantity as an integer", job("resources: {cpu: 8}")),
    Case("quantity as an integral float", job("resources: {cpu: 8.0}")),
    Case(
        "quantity as a float",
        job("resources: {cpu: 0.5}"),
        "spec.resources.cpu: must be a string or an integer: write 0.5",
    ),
    Case("quantity as a boolean", job("resources: {cpu: yes}"), "spec.resources.cpu: must be a quantity"),
    Case("negative quantity", job("resources: {cpu: -1}"), "spec.resources.cpu: must be a quantity"),
    Case("negative quantity in quotes", job('resources: {cpu: "-1"}'), "spec.resources.cpu: must be a quantity"),
    Case("quantity with a wrong suffix", job("resources: {memory: 64GB}"), "spec.resources.memory: must be a quantity"),
    Case(
        "quantity with a line break", job('resources: {memory: "64Gi\\n"}'), "spec.resources.memory: must be a quantity"
    ),
    # null is as if it were not there, but not in a list
    Case("null for a mapping", job("adapter: ~")),
    Case("null for a value", job("training: {epochs: null}")),
    Case("null in a map", job("podTemplate: {labels: {a: ~}}")),
    Case(
        "null in a list",
        job("adapter: {targetModules: [~]}"),
        "spec.adapter.targetModules[0]: must be a string, not null",
    ),
    Case("null of a union", job("output: {destinations: [{pvc: {claimName: a, path: b}, s3: ~}]}")),
]
