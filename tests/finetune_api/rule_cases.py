"""Job files that differ in what goes together: lists, maps, unions, and what one field says of another."""

from __future__ import annotations

from tests.finetune_api.manifest_cases import Case, job

CASES = [
    # lists and maps
    Case("list at its limit", job(f"adapter: {{targetModules: [{', '.join(['a'] * 64)}]}}")),
    Case(
        "list too long", job(f"adapter: {{targetModules: [{', '.join(['a'] * 65)}]}}"), "spec.adapter.targetModules: "
    ),
    Case("list empty", job("adapter: {targetModules: []}"), "spec.adapter.targetModules: "),
    Case("map", job(dataset="{train: {source: hf://org/data}, columns: {instruction: question}}")),
    Case(
        "map's value is a number",
        job(dataset="{train: {source: hf://org/data}, columns: {a: 1}}"),
        "spec.dataset.columns.a: must be a string",
    ),
    Case("map's key is a word for true", job("podTemplate: {labels: {y: a}}")),
    Case(
        "map too large",
        job(dataset=f"{{train: {{source: hf://org/data}}, columns: {{{', '.join(f'k{n}: v' for n in range(17))}}}}}"),
        "spec.dataset.columns: ",
    ),
    Case("label value", job("podTemplate: {labels: {a: b_c.d}, nodeSelector: {a: ''}}")),
    Case("label value with a slash", job("podTemplate: {nodeSelector: {a: b/c}}"), "spec.podTemplate.nodeSelector.a: "),
    Case("key twice", job("backend: trl\nbackend: unsloth"), 'key "backend" is given twice', reader_only=True),
    Case("merge", job("training: {<<: {seed: 4}, epochs: 2}")),
    Case(
        "environment",
        job("podTemplate: {env: [{name: A, value: x}, {name: B, valueFrom: {secretKeyRef: {name: s, key: k}}}]}"),
    ),
    Case(
        "environment twice",
        job("podTemplate: {env: [{name: A, value: x}, {name: A, value: z}]}"),
        'spec.podTemplate.env: name "A" is given twice',
    ),
    Case(
        "environment of the operator",
        job("podTemplate: {env: [{name: HF_TOKEN, value: x}]}"),
        "spec.podTemplate.env[0].name: this variable is set by the operator",
    ),
    Case(
        "environment of the contract",
        job("podTemplate: {env: [{name: FINETUNE_CONFIG, value: x}]}"),
        "spec.podTemplate.env[0].name: this variable",
    ),
    Case(
        "volume twice",
        job(
            "podTemplate: {volumes: [{name: a, mountPath: /mnt/a, emptyDir: {}}, "
            "{name: a, mountPath: /mnt/b, emptyDir: {}}]}"
        ),
        "spec.podTemplate.volumes: ",
    ),
    Case(
        "affinity",
        job(
            "podTemplate: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
            "{nodeSelectorTerms: [{matchExpressions: [{key: zone, operator: In, values: [a, b]}]}]}}, podAntiAffinity: "
            "{preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100, podAffinityTerm: {topologyKey: host, "
            "labelSelector: {matchLabels: {a: b}}}}]}}}"
        ),
    ),
    Case(
        "affinity misspelt",
        job("podTemplate: {affinity: {nodeAfinity: {}}}"),
        'unknown field; did you mean "nodeAffinity"?',
    ),
    # exactly one of
    Case("validation by fraction", job(dataset="{train: {source: hf://org/data}, validation: {fraction: 0.1}}")),
    Case("validation by source", job(dataset="{train: {source: hf://org/data}, validation: {source: hf://org/held}}")),
    Case(
        "validation by both",
        job(dataset="{train: {source: hf://org/data}, validation: {fraction: 0.1, source: hf://org/held}}"),
        "spec.dataset.validation: exactly one of fraction, source must be set",
    ),
    Case(
        "validation by neither",
        job(dataset="{train: {source: hf://org/data}, validation: {split: test}}"),
        "spec.dataset.validation: exactly one of",
    ),
    Case("two destinations", job("output: {destinations: [{pvc: {claimName: a, path: b}}, {s3: {uri: s3://b/p}}]}")),
    Case(
        "a destination of two kinds",
        job("output: {destinations: [{pvc: {claimName: a, path: b}, s3: {uri: s3://b/p}}]}"),
        "spec.output.destinations[0]: exactly one of pvc, s3, oci, hub must be set",
    ),
    Case(
        "a destination of no kind", job("output: {destinations: [{}]}"), "spec.output.destinations[0]: exactly one of"
    ),
    Case(
        "a value and where it comes from",
        job("podTemplate: {env: [{name: A, value: x, valueFrom: {secretKeyRef: {name: s, key: k}}}]}"),
        "spec.podTemplate.env[0]: exactly one of value, valueFrom must be set",
    ),
    Case(
        "a variable without a value", job("podTemplate: {env: [{name: A}]}"), "spec.podTemplate.env[0]: exactly one of"
    ),
    Case(
        "a volume of two kinds",
        job("podTemplate: {volumes: [{name: a, mountPath: /mnt/a, emptyDir: {}, secret: {name: s}}]}"),
        "spec.podTemplate.volumes[0]: exactly one of",
    ),
    Case(
        "a volume of no kind",
        job("podTemplate: {volumes: [{name: a, mountPath: /mnt/a}]}"),
        "spec.podTemplate.volumes[0]: exactly one of",
    ),
    # one field about another
    Case("warmup by ratio", job("training: {warmupRatio: 0.1}")),
    Case("warmup by steps", job("training: {warmupSteps: 10}")),
    Case(
        "warmup by both",
        job("training: {warmupRatio: 0.1, warmupSteps: 10}"),
        "spec.training: set warmupRatio or warmupSteps, not both",
    ),
    Case("full", job(method="full")),
    Case(
        "full with an adapter",
        job("adapter: {rank: 8}", method="full"),
        "spec.adapter: method full trains every weight",
    ),
    Case(
        "full with an empty adapter", job("adapter: {}", method="full"), "spec.adapter: method full trains every weight"
    ),
    Case(
        "full, merged", job("output: {merge: true}", method="full"), "spec.output: method full has no adapter to merge"
    ),
    Case("full, not merged", job("output: {merge: false}", method="full")),
    Case("lora, merged", job("output: {merge: true}")),
    Case("ia3 with modules", job("adapter: {targetModules: [k_proj]}", method="ia3")),
    Case("ia3 with a rank", job("adapter: {rank: 8}", method="ia3"), "spec.adapter: method ia3 has neither rank"),
    Case("dpo", job("objective: dpo\ntraining: {dpo: {beta: 0.1}}")),
    Case("dpo with preferences", job("objective: dpo", dataset="{train: {source: hf://org/data}, format: preference}")),
    Case(
        "dpo with messages",
        job("objective: dpo", dataset="{train: {source: hf://org/data}, format: messages}"),
        "spec.dataset: format preference goes with objective dpo",
    ),
    Case(
        "sft with preferences",
        job("objective: sft", dataset="{train: {source: hf://org/data}, format: preference}"),
        "spec.dataset: format preference goes",
    ),
    Case(
        "preferences without dpo",
        job(dataset="{train: {source: hf://org/data}, format: preference}"),
        "spec.dataset: format preference goes",
    ),
    Case(
        "dpo's settings without it",
        job("training: {dpo: {beta: 0.1}}"),
        "spec.training: training.dpo is for objective dpo",
    ),
    Case(
        "revision of a Hub model",
        job(model="{source: hf://org/model, revision: main, tokenSecretRef: {name: hf, key: token}}"),
    ),
    Case(
        "revision of a claim",
        job(model="{source: pvc://claim/model, revision: main}"),
        "spec.model.revision: revision is for hf:// sources",
    ),
    Case(
        "token for a claim",
        job(model="{source: pvc://claim/model, tokenSecretRef: {name: hf, key: token}}"),
        "spec.model.tokenSecretRef: tokenSecretRef is for hf://",
    ),
    Case(
        "revision of a local data set",
        job(dataset="{train: {source: pvc://claim/data, revision: main}}"),
        "spec.dataset.train.revision: revision is for",
    ),
]
