"""Train: `python train.py [group=choice] [key=value] …`; `--help` lists the groups."""

from cyclip_pl.cli import train

if __name__ == "__main__":
    train()
