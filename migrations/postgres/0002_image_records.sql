-- What is known of an image's disk beside the row: artefacts, documents (blobs), the gates that it passed or did not.
ALTER TABLE images ADD COLUMN record jsonb;

-- Names that point at one build of an image; promotion moves them.
CREATE TABLE channels (
    image text COLLATE "C" NOT NULL,
    name  text COLLATE "C" NOT NULL,
    key   text NOT NULL REFERENCES images (key),
    since timestamptz NOT NULL,
    PRIMARY KEY (image, name)
);
