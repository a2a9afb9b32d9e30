from mirim.cli import main

main()
