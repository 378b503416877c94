"""The `finetune` command, one file per subcommand."""
