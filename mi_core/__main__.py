from mi_core.cli import main

main()
