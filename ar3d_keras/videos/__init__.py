"""From files on disk to uint8 clips: catalog -> split -> source -> pipeline."""
