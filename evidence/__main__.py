"""Write everything that follows from the tables: ``python -m evidence``."""

from .figures import draw_crossed, draw_doses
from .write import write_pages

if __name__ == "__main__":
    for path in (*write_pages(), *draw_crossed(), *draw_doses()):
        print(path)
