module finetune.dev/e2e/node

go 1.24.0
