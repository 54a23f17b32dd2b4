"""What an assistant is told: the answers of the commands, made short, behind the Model Context Protocol."""
