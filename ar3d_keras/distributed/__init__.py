"""Work that is split over items: in threads of this process, or in Ray actors on other machines."""
