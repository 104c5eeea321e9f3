-- Refusals: errors with a SQLSTATE of their own, and facts for machines in DETAIL.

CREATE FUNCTION refuse(code text, message text, facts jsonb DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message, DETAIL = coalesce(facts::text, '');
END $$;

-- A value for an error: its beginning, if it is long.
CREATE FUNCTION shortened(value text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN length(value) <= 200 THEN value ELSE left(value, 200) || U&'\2026' END
$$;

CREATE FUNCTION quoted(value text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT to_jsonb(shortened(value))::text $$;
