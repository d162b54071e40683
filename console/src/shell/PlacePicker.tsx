import { lazy, Suspense, useState } from "react";
import { Icon } from "../parts/icons";
import type { Place } from "./url";

const PlaceDialog = lazy(async () => ({ default: (await import("./PlaceDialog")).PlaceDialog }));

/** The project and domain that one is in, and the way to another. */
export function PlacePicker({ place }: { place: Place }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button
        type="button"
        className="place"
        aria-haspopup="dialog"
        onClick={() => setOpen(true)}
        title={`${place.project} / ${place.domain}`}
      >
        <Icon name="artifacts" />
        <span className="rail-label place-label">
          <strong>{place.project}</strong>
          <span className="quiet">{place.domain}</span>
        </span>
      </button>
      {open && (
        <Suspense>
          <PlaceDialog onClose={() => setOpen(false)} />
        </Suspense>
      )}
    </>
  );
}
