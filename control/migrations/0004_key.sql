-- By what the edges that follow this log know each other: 32 bytes in hexadecimal. Made at the first start that finds none.
ALTER TABLE log ADD COLUMN key TEXT;
