import pytest

from fpn_jax.data.formats.csv_rows import read_table

HEADER = "file,x1,y1,x2,y2,class\n"
ROWS = [("a b.jpg", "big cat", (1, 2, 30.5, 40)), ("a b.jpg", "", None)]


def read(text):
    data = text if isinstance(text, bytes) else text.encode()
    return read_table(data, "train.csv")


@pytest.mark.parametrize(
    "text",
    [
        "a b.jpg,1,2,30.5,40,big cat\na b.jpg,,,,,\n",
        HEADER + "a b.jpg,1,2,30.5,40,big cat\r\na b.jpg\r\n",
        b"\xef\xbb\xbffile , x1, y1, x2, y2, class\na b.jpg , 1, 2, 30.5, 40, big cat\n"
        b" a b.jpg ,,,,,\n",
        '"file","x1","y1","x2","y2","class"\n"a b.jpg", "1", "2", "30.5", "40", '
        '"big cat"\n\n"a b.jpg",,,,,,,\n',
        "file;x1;y1;x2;y2;class;\na b.jpg;1;2;30,5;40,0;big cat;\na b.jpg;;;;;;\n",
        "sep=;\nfile;x1;y1;x2;y2;class\na b.jpg;1;2;30,5;40;big cat\na b.jpg;;;;;",
        "file\tx1\ty1\tx2\ty2\tclass\na b.jpg\t1\t2\t30.5\t40\tbig cat\na b.jpg\n",
        "Label,X min,ymin,x-max,bottom,Image Path\nbig cat,1,2,30.5,40,.\\a b.jpg\n"
        ",,,,,a b.jpg\n",
        "0,1,2,3,4,5\na b.jpg,1,2,30.5,40,big cat\na b.jpg",
        f"# {HEADER}a b.jpg,1,2,30.5,40,big cat\na b.jpg",
        "a b.jpg,1,2,30.5,40,big cat\r,,,,\ra b.jpg",
        f"{HEADER}a b.jpg,1,2,30.5,40,big cat\na b.jpg".encode("utf-16"),
    ],
)  # fmt: skip
def test_tables_of_all_programs_have_the_same_rows(text):
    assert [(row.file, row.name, row.corners) for row in read(text)] == ROWS


def test_lines_are_counted_as_editors_count_them():
    text = '\nfile,x1,y1,x2,y2,class\n\na.jpg\n"b\nc.jpg"\nd.jpg\n'
    assert [row.line for row in read(text)] == [4, 5, 7]


def test_sizes_of_images_are_read_where_both_are_there():
    text = "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,64,48,cat,1,2,3,4\n"
    assert read(text)[0].stated == (48, 64)
    assert read(text.replace("48", "0"))[0].stated is None
    assert read(HEADER + "a.jpg")[0].stated is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a.jpg,1,2,30,40,", "a box without a class"),
        ("a.jpg,,,,,cat", "xmin is empty, must be a finite number"),
        ('a.jpg,1,2,3,4,"big\ncat"', "name 'big\\ncat' has a line break"),
        ("a.jpg,1,x,30,40,cat", "ymin is x, must be a finite number"),
        ("a.jpg,1,nan,30,40,cat", "ymin is nan, must be a finite number"),
        ("a.jpg,1,50,30,40,cat", "ymin is 50 and y2 40, must be the smaller"),
        (",1,2,30,40,cat", "no name of a file"),
    ],
)
def test_a_wrong_row_is_told_by_the_names_of_its_table(line, problem):
    found, sound = read(f"file,xmin,ymin,x2,y2,class\n{line}\na.jpg,1,2,3,4,cat\n")
    assert problem in found.problem and found.line == 2
    assert not sound.problem


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("img,xmin,ymin,xmax,ymax,klass", "no column 'class' in the first line, img, "),
        ("pic,a,b,c,d,e", "no column 'file' in the first line, pic, a, b, c, d, e; it"),
        ("file,x1,y1,x2,class", "no column 'y2' .*; it may be called y2, ymax, y_max"),
        ("file,path,x1,y1,x2,y2,class", "file and path are the same column"),
        (
            "file,xmin,ymin,xmax,ymax,class\na.jpg\na.jpg,.1,0.2,1,0.9,cat",
            "line 3: xmin .1, ymin 0.2, xmax 1, ymax 0.9: as in all lines, these are "
            "shares of the image, must be pixels",
        ),
        ("a.png,5,6,7,8,dog,9", "line 1 has 7 cells, must have 6: file, x1, y1, x2"),
        (HEADER + 'a.png,"5,6', "line 2: unexpected end of data"),
        (b"a.png\ncaf\xe9.png", "line 2 is no UTF-8 text"),
        (b"a.png\0", "line 1 is no text"),
    ],
)
def test_what_is_no_table_is_told_in_one_line(text, reason):
    with pytest.raises(ValueError, match=rf"^train.csv: [^\n]*{reason}[^\n]*$"):
        read(text)
