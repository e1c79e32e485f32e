"""The parts of the scoreboard: programs, recording, peers, judging, tables."""
