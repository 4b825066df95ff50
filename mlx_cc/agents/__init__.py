"""What an agent is good at, where coaching helps, and which agents are alike."""
