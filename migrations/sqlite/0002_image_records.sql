-- What is known of an image's disk beside the row: artefacts, documents (blobs), the gates that it passed or did not.
ALTER TABLE images ADD COLUMN record TEXT CHECK (record IS NULL OR json_valid(record));

-- Names that point at one build of an image; promotion moves them.
CREATE TABLE channels (
    image TEXT NOT NULL,
    name  TEXT NOT NULL,
    key   TEXT NOT NULL REFERENCES images (key),
    since TEXT NOT NULL,
    PRIMARY KEY (image, name)
) STRICT;
