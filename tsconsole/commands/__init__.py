"""The subcommands of the command line: what each calls, and how it prints what it is told."""
