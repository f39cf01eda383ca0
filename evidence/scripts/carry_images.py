"""Draw the evaluation images that ship with the zoo: ``python -m evidence.scripts.carry_images [imagefolder:CIFAR10]``.

Run it after :mod:`.pack_zoo`. The data of all encoders must be at hand.
"""

import sys

from intertwine.analysis.runs.zoo import carry_images


def main() -> None:
    print(carry_images(data=sys.argv[1] if len(sys.argv) > 1 else None))


if __name__ == "__main__":
    main()
