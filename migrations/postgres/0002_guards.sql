-- An extra guard against people with psql: the program itself never changes a posting.
CREATE FUNCTION posting_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only';
END
$$;

CREATE TRIGGER posting_is_append_only BEFORE UPDATE OR DELETE ON posting
FOR EACH ROW EXECUTE FUNCTION posting_is_append_only();
